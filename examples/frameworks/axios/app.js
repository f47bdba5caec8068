import axios from "/modules/axios/dist/esm/axios.js";
import { install } from "/.demur/client/hands/axios.js";
import { buttons, file } from "../show.js";

const api = axios.create({ baseURL: "/api" });
install(axios, api);

// An interceptor of the page's own sees each call once, however often it had to be sent.
api.interceptors.response.use((response) => response.data);

buttons(
  {
    save: async () => (await api.post("/notes", { text: "a note" })).said,
    upload: async () => (await api.post("/notes", file())).said,
    admin: async () => (await api.get("/admin/notes")).said,
  },
  (error) => `${error.response.status} ${error.response.data.reason}`,
);

import { install } from "/.demur/client/hands/jquery.js";
import { buttons, file } from "../show.js";

install($);

const said = (call) =>
  new Promise((resolve, reject) => call.done((data) => resolve(data.said)).fail((xhr) => reject(xhr)));

buttons(
  {
    save: () => said($.post("/api/notes", { text: "a note" })),
    upload: () =>
      said($.ajax("/api/notes", { method: "POST", data: file(), processData: false, contentType: false })),
    admin: () => said($.getJSON("/api/admin/notes")),
  },
  (xhr) => `${xhr.status} ${JSON.parse(xhr.responseText).reason}`,
);

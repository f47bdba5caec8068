// Compiled in the browser, so that this example needs no Angular toolchain.
import "@angular/compiler";
import { provideZonelessChangeDetection } from "@angular/core";
import { HttpClient, provideHttpClient, withFetch, withInterceptors } from "@angular/common/http";
import { createApplication } from "@angular/platform-browser";
import * as rxjs from "rxjs";
import { interceptor } from "demur/hands/angular";
import { buttons, file } from "../show.js";

// ?fetch: by fetch, which the client is installed over already
const how = [withInterceptors([interceptor(rxjs)]), ...(location.search === "?fetch" ? [withFetch()] : [])];
const providers = [provideZonelessChangeDetection(), provideHttpClient(...how)];
const app = await createApplication({ providers });
const http = app.injector.get(HttpClient);

const said = async (call) => (await rxjs.firstValueFrom(call)).said;

buttons(
  {
    save: () => said(http.post("/api/notes", { text: "a note" })),
    upload: () => said(http.post("/api/notes", file())),
    admin: () => said(http.get("/api/admin/notes")),
  },
  (error) => `${error.status} ${error.error.reason}`,
);

// Express, as it is without settings: which route it takes, and what it calls the path.
"use strict";
const express = require("express");
const app = express();

function answer(name) {
  return (request, response) => {
    const read = [request.path, request.originalUrl, request.baseUrl + request.path];
    const rest = request.params.rest;
    if (rest !== undefined) read.push((name === "any" ? "" : "/" + name) + "/" + [].concat(rest).join("/"));
    try {
      read.push(new URL(request.originalUrl, "http://localhost").pathname);
    } catch {
      // not for this parser
    }
    response.type("text/plain").send([name, ...read].join("\n"));
  };
}

const within = (name) => {
  const router = express.Router();
  router.use(answer(name));
  return router;
};

app.get("/", answer("root"));
app.get("/page/:name", answer("page"));
app.get("/account", answer("account"));
app.get("/api/:version/secret", answer("secret"));
app.get("/public{/*rest}", answer("public"));
app.use("/admin", within("admin"));
app.get("/members{/*rest}", answer("members"));
app.get("/*rest", answer("any"));
app.use((_request, response) => response.status(404).type("text/plain").send(""));
app.listen(Number(process.argv[2]), "127.0.0.1");

// A page with and without express-session: /open for anybody, /page for whoever is signed in.
import express from "express";
import session from "express-session";

const app = express();
app.disable("x-powered-by");
app.get("/open", (asked, answer) => answer.type("text").send("hello\n"));
app.use(session({ secret: "a secret for measuring", resave: false, saveUninitialized: false }));
app.get("/login", (asked, answer) => {
  asked.session.person = "bob";
  answer.type("text").send("welcome\n");
});
app.get("/page", (asked, answer) =>
  asked.session.person ? answer.type("text").send("hello\n") : answer.status(401).send("sign in\n"),
);
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));

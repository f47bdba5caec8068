import { install } from "/.demur/client/hands/htmx.js";

install();

// Everything here is a convenience: without it the pages work as they are.
(() => {
  const body = document.body, about = body.dataset;
  const form = document.querySelector("form[data-sign-in]");
  const lang = document.documentElement.lang;
  // A fragment is never sent to a server, so only the browser can carry it across the sign-in.
  for (const each of document.forms) each.addEventListener("submit", () => {
    const next = each.elements.next;
    if (next && location.hash && !next.value.includes("#")) next.value += location.hash;
  });
  for (const button of document.querySelectorAll(".reveal")) {
    const input = document.getElementById(button.getAttribute("aria-controls"));
    const words = button.dataset;
    const show = (on) => {
      input.type = on ? "text" : "password";
      button.textContent = on ? words.hide : words.show;
      button.setAttribute("aria-label", on ? words.hideLabel : words.showLabel);
    };
    button.hidden = false;
    button.addEventListener("click", () => { show(input.type === "password"); input.focus(); });
    // A browser remembers what is typed into a plain text field.
    input.form.addEventListener("submit", () => show(false));
  }
  for (const hint of document.querySelectorAll(".caps")) {
    const input = hint.parentElement.querySelector("input");
    const look = (event) => {
      const on = event.getModifierState && event.getModifierState("CapsLock");
      const text = on ? hint.dataset.on : "";
      if (hint.textContent !== text) hint.textContent = text;
    };
    for (const kind of ["keydown", "keyup", "mousedown"]) input.addEventListener(kind, look);
    input.addEventListener("blur", () => { hint.textContent = ""; });
  }
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString(lang === "en" ? "en-GB" : lang, { dateStyle: "long", timeStyle: "short" });
  }
  if (form) {
    const empty = [...form.querySelectorAll("input[required]")].find((input) => !input.value);
    if (empty) empty.focus();
  }
  // A sign-in or sign-out is news for every tab. Nobody believes it: each of them asks the server.
  if (about.says) try {
    const channel = new BroadcastChannel("demur");
    channel.postMessage({ type: about.says });
    channel.close();
  } catch { /* a browser without it, or one that keeps it from us */ }
  if ("closes" in about) close();
  // What the client keeps of forms for who has left. Clear-Site-Data does not reach it everywhere.
  if (about.says === "signed-out") try {
    for (const name of Object.keys(sessionStorage)) {
      if (name.startsWith("demur:")) sessionStorage.removeItem(name);
    }
  } catch { /* storage is turned off */ }
  // The client's mark that a form was sent: a refusal in its place means that what was typed is still needed, until the
  // form is sent from, or thrown away on, the page that offers that.
  const mark = (from, to) => {
    try {
      const sent = sessionStorage.getItem(from);
      sessionStorage.removeItem(from);
      if (sent) sessionStorage.setItem(to, sent);
    } catch { /* storage is turned off */ }
  };
  if (!("embedded" in about) && document.querySelector("script[type$=json]")) mark("demur:sent", "demur:refused");
  for (const each of document.querySelectorAll("form[data-kept]")) {
    each.addEventListener("submit", () => mark("demur:refused", "demur:sent"));
  }
  // Inside the client's dialog, which cannot see the keys that are pressed in here, nor how tall this is.
  if ("embedded" in about && parent !== window) {
    const tell = (what, more) => parent.postMessage({ demur: what, ...more }, location.origin);
    const size = (what) => tell(what, { height: Math.ceil(body.getBoundingClientRect().height) });
    for (const each of document.querySelectorAll("[data-framed]")) each.hidden = false;
    for (const each of document.querySelectorAll("[data-close]")) each.addEventListener("click", () => tell("close"));
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.isComposing) tell("close");
    });
    size("ready");
    new ResizeObserver(() => size("size")).observe(body);
  }
  // Where no window opens, it is an ordinary link to a new tab.
  for (const link of document.querySelectorAll("[data-popup]")) link.addEventListener("click", (event) => {
    if (open(link.href, "demur", "popup,width=480,height=680")) event.preventDefault();
  });
})();

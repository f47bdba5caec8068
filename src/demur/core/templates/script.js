// Everything here is a convenience: without it the pages work as they are.
(() => {
  const form = document.querySelector("form[data-sign-in]");
  // A fragment is never sent to a server, so only the browser can carry it across the sign-in.
  for (const each of document.forms) each.addEventListener("submit", () => {
    const next = each.elements.next;
    if (next && location.hash && !next.value.includes("#")) next.value += location.hash;
  });
  for (const button of document.querySelectorAll(".reveal")) {
    const input = document.getElementById(button.getAttribute("aria-controls"));
    const show = (on) => {
      input.type = on ? "text" : "password";
      button.textContent = on ? "Hide" : "Show";
      button.setAttribute("aria-label", on ? "Hide password" : "Show password");
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
      const text = on ? "Caps Lock is on" : "";
      if (hint.textContent !== text) hint.textContent = text;
    };
    for (const kind of ["keydown", "keyup", "mousedown"]) input.addEventListener(kind, look);
    input.addEventListener("blur", () => { hint.textContent = ""; });
  }
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" });
  }
  if (form) {
    const empty = [...form.querySelectorAll("input[required]")].find((input) => !input.value);
    if (empty) empty.focus();
  }
})();

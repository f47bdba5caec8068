// What fails without saying why: a stream that closes, an image or a module that does not come. Each is a reason to ask
// the server once whether the session is over, and all at once are one.

/** @param {typeof import("./core.js").demur} demur */
export function install(demur) {
  /** @type {Set<HTMLImageElement>} */
  const broken = new Set();
  let asked = -1e9;

  const look = async () => {
    if (!demur.person || performance.now() - asked < 3000) return;
    asked = performance.now();
    if ((await demur.session().catch(() => 0)) === null) demur.recover(demur.last, { spent: true });
  };

  demur.on("restored", () => {
    asked = -1e9;
    for (const image of broken) image.src += "";
    broken.clear();
  });

  const page = /** @type {any} */ (window);
  for (const [name, event] of [["WebSocket", "close"], ["EventSource", "error"]]) {
    page[name] = class extends page[name] {
      /** @param {any[]} about */
      constructor(...about) {
        super(...about);
        // 1000 and 1001: it was closed on purpose.
        this.addEventListener(event, ({ code = 0 }) => {
          if (code >> 1 !== 500 && new URL(this.url).host === location.host) look();
        });
      }
    };
  }

  addEventListener("error", ({ target }) => {
    const { src, href } = /** @type {any} */ (target);
    if (!(src ?? href)?.startsWith?.(location.origin)) return;
    if (target instanceof HTMLImageElement) broken.add(target);
    look();
  }, true);
  addEventListener("unhandledrejection", ({ reason }) => {
    if (/import/i.test(reason?.message)) look();
  });
}

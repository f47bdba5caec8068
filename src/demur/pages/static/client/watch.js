// What fails without saying why: a stream that closes, an image or a module that does not come. Each is a reason to ask
// the server once whether the session is over, and all at once are one.

/** @param {typeof import("./core.js").demur} demur */
export function install(demur) {
  /** @type {Set<HTMLImageElement>} */
  const broken = new Set();
  let asked = -1e9;

  const check = async () => {
    if (performance.now() - asked < 3000) return;
    asked = performance.now();
    if (!demur.person && !demur.over) return;
    if (!(await demur.session())) await demur.signIn();
  };
  const look = () => void check().catch(() => 0);

  demur.on("restored", () => {
    asked = -1e9;
    for (const image of broken) if (image.isConnected) image.src = image.src;
    broken.clear();
  });

  for (const [name, event] of /** @type {const} */ ([["WebSocket", "close"], ["EventSource", "error"]])) {
    const Stream = /** @type {any} */ (window)[name];
    /** @type {any} */ (window)[name] = class extends Stream {
      /** @param {any[]} about */
      constructor(...about) {
        super(...about);
        const own = new URL(this.url).host === location.host;
        // 1000 and 1001: it was closed on purpose.
        if (own) this.addEventListener(event, (/** @type {CloseEvent} */ { code }) => code < 1002 || look());
      }
    };
    Object.defineProperty(/** @type {any} */ (window)[name], "name", { value: name });
  }

  addEventListener("error", ({ target }) => {
    if (!(target instanceof Element)) return;
    const source = /** @type {any} */ (target).src ?? /** @type {any} */ (target).href ?? "";
    if (!String(source).startsWith(location.origin)) return;
    if (target instanceof HTMLImageElement) broken.add(target);
    look();
  }, true);
  addEventListener("unhandledrejection", ({ reason }) => {
    if (reason instanceof TypeError && /import/i.test(reason.message)) look();
  });
}

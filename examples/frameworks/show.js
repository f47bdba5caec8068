// What the examples have in common: three buttons, and what became of the call.
const out = document.querySelector("#out");

/** A file, as if the person had chosen one. */
export const file = () => {
  const form = new FormData();
  form.append("file", new File(["seeds and soil"], "notes.txt", { type: "text/plain" }));
  return form;
};

/**
 * @param {Record<string, () => Promise<string>>} calls what each button does
 * @param {(error: any) => string} told what an error of the library says
 */
export const buttons = (calls, told) => {
  for (const [id, call] of Object.entries(calls)) {
    document.querySelector("#" + id).onclick = async () => {
      out.textContent = "…";
      out.textContent = await call().catch((error) => "refused: " + told(error));
    };
  }
};

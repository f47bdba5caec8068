import * as React from "react";
import { createRoot } from "react-dom/client";
import { demur } from "demur";
import { session } from "demur/hands/react";

const useSession = session(React);

function App() {
  const { session, over } = useSession();
  const [said, setSaid] = React.useState("");
  if (!session) return <p id="who">{session === null ? "nobody" : "…"}</p>;
  const save = async () => {
    const response = await demur.fetch("/api/notes", { method: "POST", body: "a note" });
    setSaid(response.ok ? (await response.json()).said : "refused: " + response.status);
  };
  return (
    <>
      <p id="who">{session.name}{over ? ", who has to sign in again" : ""}</p>
      <input id="text" aria-label="Note" />
      <button id="save" onClick={save}>Save a note</button>
      <button id="leave" onClick={() => demur.signOut()}>Sign out</button>
      <output id="out">{said}</output>
    </>
  );
}

createRoot(document.querySelector("#app")).render(<App />);

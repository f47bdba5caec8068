// What went well is 2xx. Everything else says what it is, in one form (RFC 9457), whoever refused.

export async function ask(url, options) {
  const answer = await fetch(url, options);
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({ title: 'Something went wrong', status: answer.status }));
  explain(problem);
  throw Object.assign(new Error(problem.title), { problem });
}

// Who may not do something is told so in the page's own place, and not in a panel of the client.
addEventListener('demur:forbidden', (event) => event.preventDefault());

// To sign in again, and to send the call again then, is the client's business (/.demur/client.js).
function explain({ title, detail, instance, processed }) {
  const kept = processed === false ? 'Nothing was done. What you typed is still here.' : '';
  say([title, detail, kept].filter(Boolean).join(' '), 'bad');
  if (instance) {
    const reference = instance.replace('urn:uuid:', '');
    document.getElementById('note').append(Object.assign(document.createElement('small'), { textContent: `Reference ${reference}` }));
  }
}

export function send(url, data) {
  return ask(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(data) });
}

export function say(text, kind = '') {
  const note = document.getElementById('note');
  note.className = `note ${kind}`;
  note.textContent = text;
}

export function fill(id, rows, cells) {
  document.getElementById(id).replaceChildren(...rows.map((row) => {
    const line = document.createElement('tr');
    line.append(...cells(row).map((text) => Object.assign(document.createElement('td'), { textContent: text })));
    return line;
  }));
}

export const yes = (value) => (value ? 'needed' : '–');

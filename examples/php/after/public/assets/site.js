// What went well is 2xx. Everything else says what it is, in one form (RFC 9457), whoever refused.

export async function ask(url, options) {
  const answer = await fetch(url, options);
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({ title: 'Something went wrong', status: answer.status }));
  explain(problem);
  throw Object.assign(new Error(problem.title), { problem });
}

function explain({ title, detail, instance, sign_in, processed }) {
  const again = processed === false ? ' What you typed is still here: send it again then.' : '';
  say([title, detail].filter(Boolean).join('. '), 'bad');
  if (sign_in) {
    // Any restricted page shows the form in its own place.
    const link = Object.assign(document.createElement('a'), { href: '/members/', target: '_blank', textContent: 'Sign in in a new tab.' });
    document.getElementById('note').append(' ', link, again);
  }
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

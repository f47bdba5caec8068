// Every answer is 200. Whether it is an answer, only its content says.

export async function ask(url, options) {
  const answer = await fetch(url, options);
  const data = await answer.json();
  if (data.error === 'not logged in') {
    location.href = '/login.php'; // and whatever was typed is gone
  }
  if (data.error) {
    say(data.error, 'bad');
    throw new Error(data.error);
  }
  return data;
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

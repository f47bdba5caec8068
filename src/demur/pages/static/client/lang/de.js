export default {
  lang: "de",
  dir: "ltr",
  close: "Schließen",
  title: "Anmelden",
  idle: "Sind Sie noch da?",
  absolute: "Diese Sitzung lässt sich nicht verlängern",
  time: "Sie werden {time} abgemeldet.",
  stay: "Angemeldet bleiben",
  "sign-in": "Erneut anmelden",
  "sign-out": "Abmelden",
  name: "Angemeldet als",
  missing: "Dazu fehlt:",
  group: "die Mitgliedschaft in einer Gruppe",
  permission: "eine Berechtigung",
  instance: "Referenz",
  request_access: "Zugriff anfragen",
  other: "Anderes Konto verwenden",
  // What the server says about a refusal, by its English words.
  "Set up a second factor": "Richten Sie einen zweiten Faktor ein",
  "This part of the site is for accounts with a second factor.":
    "Dieser Bereich ist für Konten mit einem zweiten Faktor.",
  "You may not open this": "Das dürfen Sie nicht öffnen",
  "Your account does not have access to this.": "Ihr Konto hat hierauf keinen Zugriff.",
  "This token may not do that": "Dieses Token darf das nicht",
  "The token does not have the scope that is needed.": "Dem Token fehlt der nötige Geltungsbereich.",
  "You can ask for access": "Sie können Zugriff anfragen",
  "Your account does not have access to this yet.": "Ihr Konto hat hierauf noch keinen Zugriff.",
  "Your request is waiting": "Ihre Anfrage wartet",
  "Access was asked for and nobody has decided yet.":
    "Der Zugriff wurde angefragt, und noch hat niemand entschieden.",
  "Your access has ended": "Ihr Zugriff ist abgelaufen",
  "You had access for a limited time, and it is over.":
    "Sie hatten für begrenzte Zeit Zugriff, und diese ist vorbei.",
  "Not from here, or not now": "Nicht von hier oder nicht jetzt",
  "This cannot be opened from this place or at this time.":
    "Von diesem Ort aus oder zu dieser Zeit lässt sich das nicht öffnen.",
  "This came from another site": "Das kam von einer anderen Website",
  "A request that changes something has to come from this site itself.":
    "Eine Anfrage, die etwas ändert, muss von dieser Website selbst kommen.",
  "This account is suspended": "Dieses Konto ist gesperrt",
  "Ask whoever runs this site.": "Fragen Sie, wer diese Website betreibt.",
};

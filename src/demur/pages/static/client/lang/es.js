export default {
  lang: "es",
  dir: "ltr",
  close: "Cerrar",
  title: "Iniciar sesión",
  idle: "¿Sigue ahí?",
  absolute: "Esta sesión no se puede prolongar",
  time: "La sesión se cerrará {time}.",
  stay: "Mantener la sesión",
  "sign-in": "Volver a iniciar sesión",
  "sign-out": "Cerrar sesión",
  name: "Sesión iniciada como",
  missing: "Falta:",
  group: "pertenecer a un grupo",
  permission: "un permiso",
  instance: "Referencia",
  request_access: "Solicitar acceso",
  other: "Usar otra cuenta",
  // What the server says about a refusal, by its English words.
  "Set up a second factor": "Configure un segundo factor",
  "This part of the site is for accounts with a second factor.":
    "Esta parte del sitio es para cuentas con un segundo factor.",
  "You may not open this": "No puede abrir esto",
  "Your account does not have access to this.": "Su cuenta no tiene acceso a esto.",
  "This token may not do that": "Este token no permite hacer eso",
  "The token does not have the scope that is needed.": "El token no tiene el alcance necesario.",
  "You can ask for access": "Puede solicitar acceso",
  "Your account does not have access to this yet.": "Su cuenta todavía no tiene acceso a esto.",
  "Your request is waiting": "Su solicitud está pendiente",
  "Access was asked for and nobody has decided yet.":
    "Se ha solicitado el acceso y nadie ha decidido todavía.",
  "Your access has ended": "Su acceso ha terminado",
  "You had access for a limited time, and it is over.":
    "Tenía acceso por un tiempo limitado, y ha terminado.",
  "Not from here, or not now": "Desde aquí o ahora no",
  "This cannot be opened from this place or at this time.":
    "Esto no se puede abrir desde este lugar o a esta hora.",
  "This came from another site": "Esto venía de otro sitio",
  "A request that changes something has to come from this site itself.":
    "Una petición que cambia algo tiene que venir de este mismo sitio.",
  "This account is suspended": "Esta cuenta está suspendida",
  "Ask whoever runs this site.": "Pregunte a quien gestiona este sitio.",
};

// jQuery 3 and 4: every $.ajax waits for the sign-in, and ends once, in done or in fail.
//
//   import { install } from "demur/hands/jquery";
//   install($);

import { recovering } from "./xhr.js";

/** @param {{ajaxSettings: {xhr?: any}, ajaxSetup(options: any): any}} $ */
export const install = ($) => {
  const made = $.ajaxSettings.xhr;
  $.ajaxSetup({ xhr: () => recovering(made()) });
};

// The part of the help in which a player chooses other keys.

import { keyOf } from "./keys.js";

const WAITING = "press a key";

/**
 * Offer other keys for controls.
 *
 * @param {Keys} keys
 * @param {Control[]} controls
 * @param {HTMLElement} list the parent of the buttons, one for each control.
 * @param {HTMLButtonElement} reset returns to the usual keys.
 * @param {() => void} onChange is called once keys have changed.
 */
export function offerKeys(keys, controls, list, reset, onChange) {
  let waiting = null;
  const shown = new Map();
  const show = () => controls.forEach(({ id }) => (shown.get(id).textContent = keys.of(id).label || "–"));
  const stop = () => {
    waiting = null;
    show();
  };
  for (const { id, name } of controls) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${name} `;
    shown.set(id, button.appendChild(document.createElement("kbd")));
    button.addEventListener("click", () => {
      stop();
      waiting = id;
      shown.get(id).textContent = WAITING;
    });
    button.addEventListener("blur", stop);
    let isTaken = false; // the space bar, when it is let go, would press the button again
    button.addEventListener("keydown", (event) => {
      const key = keyOf(event);
      if (waiting !== id || (!key && event.key !== "Escape")) return;
      event.preventDefault();
      isTaken = true;
      if (key) keys.choose(id, key);
      stop();
      onChange();
    });
    button.addEventListener("keyup", (event) => {
      if (isTaken) event.preventDefault();
      isTaken = false;
    });
    list.append(button);
  }
  reset.addEventListener("click", () => {
    keys.reset();
    stop();
    onChange();
  });
  show();
}

// Keys, buttons and touch: turns them into presses of a player.

import { codeOf } from "./keys.js";

/** Arrow keys for actions with such names. */
const ARROWS = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown" };
const SIGNS = { left: "←", right: "→", up: "↑", down: "↓" };

/** Number of actions that have a number key. */
const MAX_NUMBER_KEY = 9;

/** An action or a command, with its button and its key. */
export class Control {
  /**
   * @param {string} id
   * @param {HTMLButtonElement} button
   * @param {string} code the code of its usual key in `KeyboardEvent`: its place on the keyboard; "" without one.
   * @param {string} meaning its description in the help.
   */
  constructor(id, button, code, meaning) {
    this.id = id;
    this.button = button;
    this.meaning = meaning;
    this.name = button.firstChild.textContent.trim();
    this.label = button.querySelector("kbd");
    this.usualKey = { code, label: this.label.textContent };
  }

  /** Follow a press of its key, whose release is told to the player. */
  press() {
    this.button.click();
  }
}

/** A command of the player. */
export class Command extends Control {
  /**
   * @param {string} code see `Control`.
   * @param {string} button the button's id.
   * @param {string} meaning see `Control`.
   * @param {() => void} run runs the command.
   */
  constructor(code, button, meaning, run) {
    super(button, document.getElementById(button), code, meaning);
    this.button.addEventListener("pointerdown", keepFocus);
    this.button.addEventListener("click", run);
  }
}

/** What goes on while its key or button is held. */
export class Hold extends Control {
  /**
   * @param {string} id see `Control`.
   * @param {HTMLButtonElement} button see `Control`.
   * @param {string} code see `Control`.
   * @param {string} meaning see `Control`.
   * @param {(source: string) => void} press tells the player.
   * @param {Player} player
   */
  constructor(id, button, code, meaning, press, player) {
    super(id, button, code, meaning);
    this.press = press;
    holdable(button, press, player);
  }
}

/**
 * Make the controls of actions, and put their buttons into a group.
 *
 * @param {Player} player
 * @param {string[]} actions the names of the actions.
 * @param {HTMLElement} group
 * @returns {Hold[]}
 */
export function actionControls(player, actions, group) {
  return actions.map((name, action) => {
    const button = group.appendChild(actionButton(name, action));
    const code = action < MAX_NUMBER_KEY ? `Digit${action + 1}` : "";
    const press = (source) => player.press(source, action);
    return new Hold(`action ${action + 1}`, button, code, `take ${name}`, press, player);
  });
}

/**
 * Follow keys.
 *
 * @param {Player} player
 * @param {string[]} actions the names of the actions; arrows take those that are called like them.
 * @param {Control[]} controls
 * @param {Keys} keys their keys.
 */
export function listen(player, actions, controls, keys) {
  const arrows = new Map(
    actions.map((name, action) => [ARROWS[name.toLowerCase()], (source) => player.press(source, action)]),
  );
  const pressOf = (code) => {
    const control = controls.find(({ id }) => id === keys.find(code));
    return control ? (source) => control.press(source) : arrows.get(code);
  };
  addEventListener("keydown", (event) => {
    const code = codeOf(event);
    const press = pressOf(code);
    if (!press || event.ctrlKey || event.metaKey || event.altKey || belongsTo(event.target, code)) return;
    event.preventDefault();
    if (!event.repeat) press(code);
  });
  addEventListener("keyup", (event) => player.release(codeOf(event)));
  addEventListener("blur", () => player.releaseAll());
}

/** Show the keys of controls on their buttons. */
export function showKeys(controls, keys) {
  for (const { id, label } of controls) {
    label.textContent = keys.of(id).label;
    label.hidden = !label.textContent;
  }
}

/** Return the arrows that take actions with such names, such as "← →". */
export function arrowsOf(names) {
  const lower = names.map((name) => name.toLowerCase());
  return lower.filter((name) => Object.hasOwn(SIGNS, name)).map((name) => SIGNS[name]).join(" ");
}

function actionButton(name, action) {
  const button = document.createElement("button");
  button.textContent = `${name} `;
  button.dataset.action = action;
  const key = document.createElement("kbd");
  key.textContent = action < MAX_NUMBER_KEY ? action + 1 : "";
  button.append(key);
  return button;
}

/** Make a button that can be held with a finger or a mouse; a screen reader's click, or Enter, is a short press. */
function holdable(button, press, player) {
  button.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    keepFocus(event);
    button.setPointerCapture(event.pointerId);
    press(`pointer ${event.pointerId}`);
  });
  button.addEventListener("lostpointercapture", (event) => player.release(`pointer ${event.pointerId}`));
  button.addEventListener("contextmenu", (event) => event.preventDefault());
  button.addEventListener("click", (event) => {
    if (event.detail > 0) return; // a pointer's click, which is handled already
    press("click");
    player.release("click");
  });
}

/** Keep the focus where it is, so that the space bar still pauses rather than pressing a button again. */
function keepFocus(event) {
  event.preventDefault();
}

/** Whether a key has a meaning for the focused element: the space bar presses a button, arrows move a slider. */
function belongsTo(target, code) {
  if (target.closest("dialog, select")) return true;
  if (target.matches("button")) return code === "Space";
  return target.matches("input") && code.startsWith("Arrow");
}

// Keys, buttons and touch: turns them into presses of a player.

/** Arrow keys for actions with such names. */
const ARROWS = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown" };
const SIGNS = { left: "←", right: "→", up: "↑", down: "↓" };

/** Number of actions that have a number key. */
const MAX_NUMBER_KEY = 9;

/** A command of the player, with its key and its button. */
export class Command {
  /**
   * @param {string} code the key's code in `KeyboardEvent`: its place on the keyboard, independent of the layout.
   * @param {string} button the button's id.
   * @param {string} meaning its description in the help.
   * @param {() => void} run runs the command.
   */
  constructor(code, button, meaning, run) {
    this.code = code;
    this.button = document.getElementById(button);
    this.meaning = meaning;
    this.run = run;
  }

  /** The label of its key. */
  get key() {
    return this.button.querySelector("kbd").textContent;
  }
}

/**
 * Connect keys and buttons to a player.
 *
 * @param {Player} player
 * @param {string[]} actions the names of the actions.
 * @param {HTMLElement} group the parent of the actions' buttons.
 * @param {HTMLButtonElement} rewind undoes steps while it is held.
 * @param {Command[]} commands
 */
export function listen(player, actions, group, rewind, commands) {
  const holds = new Map([["Backspace", (source) => player.pressRewind(source)]]);
  actions.forEach((name, action) => {
    const press = (source) => player.press(source, action);
    for (const code of actionCodes(name, action)) holds.set(code, press);
    group.append(actionButton(name, action));
    holdable(group.lastElementChild, press, player);
  });
  holdable(rewind, (source) => player.pressRewind(source), player);

  const clicks = new Map(commands.map(({ code, button }) => [code, () => button.click()]));
  for (const { button, run } of commands) {
    button.addEventListener("pointerdown", keepFocus);
    button.addEventListener("click", run);
  }
  addEventListener("keydown", (event) => {
    const code = event.code.replace("Numpad", "Digit");
    const does = holds.get(code) ?? clicks.get(code);
    if (!does || event.ctrlKey || event.metaKey || event.altKey || belongsTo(event.target, code)) return;
    event.preventDefault();
    if (!event.repeat) does(code);
  });
  addEventListener("keyup", (event) => player.release(event.code.replace("Numpad", "Digit")));
  addEventListener("blur", () => player.releaseAll());
}

/** Return the arrows that take actions with such names, such as "← →". */
export function arrowsOf(names) {
  const lower = names.map((name) => name.toLowerCase());
  return lower.filter((name) => Object.hasOwn(SIGNS, name)).map((name) => SIGNS[name]).join(" ");
}

function actionCodes(name, action) {
  const codes = action < MAX_NUMBER_KEY ? [`Digit${action + 1}`] : [];
  const arrow = ARROWS[name.toLowerCase()];
  return arrow ? [...codes, arrow] : codes;
}

function actionButton(name, action) {
  const button = document.createElement("button");
  button.textContent = `${name} `;
  button.dataset.action = action;
  if (action < MAX_NUMBER_KEY) {
    const key = document.createElement("kbd");
    key.textContent = action + 1;
    button.append(key);
  }
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

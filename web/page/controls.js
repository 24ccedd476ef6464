// Keys, buttons and touch, and what of a player they press.

/** Other keys of actions that have such names. */
const ARROWS = { left: "ArrowLeft", right: "ArrowRight", up: "ArrowUp", down: "ArrowDown" };
const SIGNS = { left: "←", right: "→", up: "↑", down: "↓" };

/** Actions that have a number key. */
const MAX_NUMBER_KEY = 9;

/** A command of the player: its key, and the button, by its name in the page, that does the same. */
export class Command {
  /**
   * @param {string} code of the key, as of `KeyboardEvent`: its place on the keyboard, whatever is printed there.
   * @param {string} button
   * @param {string} meaning for the help.
   * @param {() => void} run
   */
  constructor(code, button, meaning, run) {
    this.code = code;
    this.button = document.getElementById(button);
    this.meaning = meaning;
    this.run = run;
  }

  /** What is printed on its key. */
  get key() {
    return this.button.querySelector("kbd").textContent;
  }
}

/**
 * Let keys and buttons command.
 *
 * @param {Player} player
 * @param {string[]} actions their names.
 * @param {HTMLElement} group gets a button for each action.
 * @param {HTMLButtonElement} rewind takes steps back as long as it is held.
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

/** The arrows that take actions, such as "← →", by the actions' names. */
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

/** Let a button be held by a finger or a mouse; a screen reader's click, or Enter, is a short press. */
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
    if (event.detail > 0) return; // of a pointer, which was heard before
    press("click");
    player.release("click");
  });
}

/** Leave the focus where it is, so that the space bar goes on to pause rather than to press a button again. */
function keepFocus(event) {
  event.preventDefault();
}

/** Whether a key means something to what has the focus: the space bar presses a button, arrows move a slider. */
function belongsTo(target, code) {
  if (target.closest("dialog, select")) return true;
  if (target.matches("button")) return code === "Space";
  return target.matches("input") && code.startsWith("Arrow");
}

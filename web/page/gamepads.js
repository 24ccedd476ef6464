// Gamepads: directions take the actions that are called like them, other buttons the other actions.

/** The buttons and the half of an axis for each direction, in the standard layout. */
const DIRECTIONS = {
  up: { button: 12, axis: 1, sign: -1 },
  down: { button: 13, axis: 1, sign: 1 },
  left: { button: 14, axis: 0, sign: -1 },
  right: { button: 15, axis: 0, sign: 1 },
};

/** Number of buttons for the other actions: the four at the right, then the four at the shoulders. */
const NUM_BUTTONS = 8;

const BACK = 8;
const START = 9;

/** How far a stick must be moved, of 1. */
const THRESHOLD = 0.5;

/** Turns what is pressed on any gamepad into presses of a player. */
export class Gamepads {
  #inputs;
  #player;
  #down = new Set();

  /**
   * @param {Player} player
   * @param {string[]} actions the names of the actions.
   * @param {() => void} pause is called when Start is pressed; Back undoes steps while it is held.
   */
  constructor(player, actions, pause) {
    this.#player = player;
    let numButtons = 0;
    this.#inputs = actions.flatMap((name, action) => {
      const press = (source) => player.press(source, action);
      const direction = DIRECTIONS[name.toLowerCase()];
      if (direction) return [{ isDown: (pad) => points(pad, direction), press }];
      return numButtons < NUM_BUTTONS ? [onButton(numButtons++, press)] : [];
    });
    this.#inputs.push(onButton(BACK, (source) => player.pressRewind(source)), onButton(START, pause));
  }

  /** Follow what has been pressed and let go since the last call. */
  poll() {
    const pads = document.querySelector("dialog[open]") ? [] : connectedPads();
    this.#inputs.forEach(({ isDown, press }, number) => {
      const source = `gamepad ${number}`;
      const isPressed = pads.some(isDown);
      if (isPressed === this.#down.has(source)) return;
      if (isPressed) {
        this.#down.add(source);
        press(source);
      } else {
        this.#down.delete(source);
        this.#player.release(source);
      }
    });
  }
}

/** Return the gamepads; none where the page may not use them, as in some frames of other pages. */
function connectedPads() {
  try {
    return [...navigator.getGamepads()].filter(Boolean);
  } catch {
    return [];
  }
}

function onButton(number, press) {
  return { isDown: (pad) => Boolean(pad.buttons[number]?.pressed), press };
}

function points(pad, { button, axis, sign }) {
  return Boolean(pad.buttons[button]?.pressed) || sign * (pad.axes[axis] ?? 0) > THRESHOLD;
}

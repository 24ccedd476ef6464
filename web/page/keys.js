// The keys of the controls: the usual ones, or those that the player chose, which the browser keeps for each game.

/** @typedef {{ code: string, label: string }} Key its place in `KeyboardEvent.code`, and what the page calls it. */

/** The key of a control that has none. @type {Key} */
export const NO_KEY = { code: "", label: "" };
const LABELS = { " ": "Space", Backspace: "⌫", ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓" };
const MAX_LABEL = 12;

/** Keys with a meaning of their own in any page. */
const RESERVED = ["Escape", "Enter", "Tab", "Shift", "Control", "Alt", "AltGraph", "Meta", "Dead"];

/** The keys of a game's controls. */
export class Keys {
  #usual;
  #chosen = new Map();
  #storage;

  /**
   * @param {string} game the game's name.
   * @param {Map<string, Key>} usual the usual keys, by control.
   */
  constructor(game, usual) {
    this.#usual = usual;
    this.#storage = `playable-video.keys.${game}`;
    for (const [control, key] of stored(this.#storage)) {
      if (usual.has(control) && isKey(key)) this.#chosen.set(control, key);
    }
  }

  /** The key of a control. @returns {Key} */
  of(control) {
    return this.#chosen.get(control) ?? this.#usual.get(control);
  }

  /** The control that has a key, undefined without one. */
  find(code) {
    return code ? [...this.#usual.keys()].find((control) => this.of(control).code === code) : undefined;
  }

  /** Whether a control has another key than its usual one. */
  isChosen(control) {
    return this.of(control).code !== this.#usual.get(control).code;
  }

  /** Give a control a key. The control that has it gets the other's. */
  choose(control, key) {
    const other = this.find(key.code);
    if (other !== undefined) this.#chosen.set(other, this.of(control));
    this.#chosen.set(control, key);
    try {
      localStorage.setItem(this.#storage, JSON.stringify([...this.#chosen]));
    } catch {
      // they hold until the page is closed
    }
  }

  /** Return to the usual keys. */
  reset() {
    this.#chosen.clear();
    try {
      localStorage.removeItem(this.#storage);
    } catch {
      // nothing is stored
    }
  }
}

/** The place of an event's key; digits are the same on both parts of a keyboard. */
export function codeOf(event) {
  return event.code.replace("Numpad", "Digit");
}

/** The key of an event, null for one that cannot be chosen. @returns {Key | null} */
export function keyOf(event) {
  const code = codeOf(event);
  if (!code || event.ctrlKey || event.metaKey || event.altKey || RESERVED.includes(event.key)) return null;
  const label = LABELS[event.key] ?? (event.key.length === 1 ? event.key.toUpperCase() : event.key);
  return { code, label: label.slice(0, MAX_LABEL) };
}

function stored(name) {
  try {
    const entries = JSON.parse(localStorage.getItem(name));
    return Array.isArray(entries) ? entries.filter(Array.isArray) : [];
  } catch {
    return [];
  }
}

function isKey(key) {
  return typeof key?.code === "string" && typeof key.label === "string" && key.label.length <= MAX_LABEL;
}

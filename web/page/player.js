// What a player's presses do, and when: nothing here draws or listens.

import { Pace } from "./pace.js";

/** What real time does while nothing is pressed, beside taking one of the actions. */
export const WAIT = "wait";
export const REPEAT = "repeat";

/** How long something must be held, step by step, until it repeats. */
const HOLD_MILLISECONDS = 350;

/** Plays a game. Presses are remembered; `advance`, called with every picture of the screen, does what is due. */
export class Player {
  realTime = true;
  isPaused = false;
  noise = false;
  lastAction = null;
  #held = new Map(); // what is held down: its action, null for stepping back, and since when
  #due = []; // what waits to be done, in order

  /**
   * @param {Game} game
   * @param {number} framesPerSecond of real time.
   * @param {number | "wait" | "repeat"} idle what real time does while nothing is pressed.
   */
  constructor(game, framesPerSecond, idle) {
    this.game = game;
    this.pace = new Pace(framesPerSecond);
    this.idle = idle;
  }

  /** Take an action, and go on with it as long as `source`, a key or a finger, is held. */
  press(source, action) {
    this.#hold(source, action, () => this.#act(action));
  }

  /** Take the last step back, and go on with it as long as `source` is held. */
  pressRewind(source) {
    this.#hold(source, null, () => this.#rewind());
  }

  /** What `source` held is let go. */
  release(source) {
    this.#held.delete(source);
  }

  /** Everything is let go. */
  releaseAll() {
    this.#held.clear();
  }

  /** Begin again from the same starting frame. */
  reset() {
    this.#begin(() => this.game.reset());
  }

  /** Begin from another starting frame. */
  startAnew() {
    this.#begin(() => this.game.startAnew());
  }

  /** Let real time stand still, or go on. */
  togglePause() {
    this.isPaused = this.realTime && !this.isPaused;
  }

  /** Real time, or step by step. */
  toggleRealTime() {
    this.realTime = !this.realTime;
    this.isPaused = false;
  }

  /** Whether frames follow each other in real time. */
  get isRunning() {
    return this.realTime && !this.isPaused;
  }

  /**
   * Do what is due.
   *
   * @param {number} now milliseconds.
   * @returns {Promise<boolean>} whether there is another frame to see.
   */
  async advance(now) {
    const task = this.#due[0] ?? this.#nextTask(now);
    if (!task) this.pace.stop();
    if (!task || (task.isPaced && !this.pace.take(now))) return false;
    this.#due.shift();
    await task.run();
    return true;
  }

  #hold(source, action, run) {
    if (this.#held.has(source)) return;
    this.#held.set(source, { action, since: performance.now() });
    this.#due.push({ isPaced: this.isRunning, run });
  }

  #begin(run) {
    this.#due = [{ isPaced: false, run }];
    this.lastAction = null;
  }

  #nextTask(now) {
    const held = [...this.#held.values()].at(-1);
    if (held && (this.isRunning || now - held.since > HOLD_MILLISECONDS)) {
      return { isPaced: true, run: () => (held.action === null ? this.#rewind() : this.#act(held.action)) };
    }
    if (held || !this.isRunning || this.lastAction === null || this.idle === WAIT) return null;
    const action = this.idle === REPEAT ? this.lastAction : this.idle;
    return { isPaced: true, run: () => this.#act(action) };
  }

  async #act(action) {
    this.lastAction = action;
    await this.game.act(action, this.noise);
  }

  #rewind() {
    this.game.rewind();
    if (!this.game.canRewind) this.lastAction = null;
  }
}

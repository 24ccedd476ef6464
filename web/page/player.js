// The effect of presses, and its timing. Does not draw or listen to events.

import { Pace } from "./pace.js";

/** What real time does while nothing is pressed, other than taking one of the actions. */
export const WAIT = "wait";
export const REPEAT = "repeat";

/** Time for which a key must be held until it repeats in step-by-step mode. */
const HOLD_MILLISECONDS = 350;

/** Plays a game. Presses are queued; `advance`, called at each refresh of the display, does what is due. */
export class Player {
  realTime = true;
  isPaused = false;
  noise = false;
  lastAction = null;
  #held = new Map(); // by held source: the action, null for undoing steps, and the time of the press
  #due = []; // queued tasks, in order
  #replay = []; // steps of a recording that are to follow

  /**
   * @param {Game} game
   * @param {number} framesPerSecond the rate of real time.
   * @param {number | "wait" | "repeat"} idle what real time does while nothing is pressed.
   */
  constructor(game, framesPerSecond, idle) {
    this.game = game;
    this.pace = new Pace(framesPerSecond);
    this.idle = idle;
  }

  /** Take an action, and repeat it while `source`, a key or a finger, is held. */
  press(source, action) {
    this.#hold(source, action, () => this.#act(action));
  }

  /** Undo the last step, and repeat this while `source` is held. */
  pressRewind(source) {
    this.#hold(source, null, () => this.#rewind());
  }

  /** Release `source`. */
  release(source) {
    this.#held.delete(source);
  }

  /** Release everything. */
  releaseAll() {
    this.#held.clear();
  }

  /** Restart from the same starting frame. */
  reset() {
    this.#begin(() => this.game.reset());
  }

  /** Start from another starting frame. */
  startAnew() {
    this.#begin(() => this.game.startAnew());
  }

  /** Restart as a recording did, and take its steps in real time, until it is over or something is pressed. */
  replay(recording) {
    this.#begin(() => this.game.restart(recording));
    this.#replay = [...recording.steps];
  }

  /** The number of steps that a replay still takes. */
  get numToReplay() {
    return this.#replay.length;
  }

  /** Pause or continue real time. */
  togglePause() {
    this.isPaused = this.realTime && !this.isPaused;
  }

  /** Switch between real time and step by step. */
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
   * @param {number} now the time in milliseconds.
   * @returns {Promise<boolean>} whether there is a new frame to show.
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
    this.#replay = [];
    this.#held.set(source, { action, since: performance.now() });
    this.#due.push({ isPaced: this.isRunning, run });
  }

  #begin(run) {
    this.#replay = [];
    this.#due = [{ isPaced: false, run }];
    this.lastAction = null;
  }

  #nextTask(now) {
    if (this.#replay.length) return this.isRunning ? { isPaced: true, run: () => this.#actAgain() } : null;
    const held = [...this.#held.values()].at(-1);
    if (held && (this.isRunning || now - held.since > HOLD_MILLISECONDS)) {
      return { isPaced: true, run: () => (held.action === null ? this.#rewind() : this.#act(held.action)) };
    }
    if (held || !this.isRunning || this.lastAction === null || this.idle === WAIT) return null;
    const action = this.idle === REPEAT ? this.lastAction : this.idle;
    return { isPaced: true, run: () => this.#act(action) };
  }

  async #act(action, noise = this.noise) {
    this.lastAction = action;
    await this.game.act(action, noise);
  }

  #actAgain() {
    const { action, noise } = this.#replay.shift();
    return this.#act(action, noise);
  }

  #rewind() {
    this.game.rewind();
    if (!this.game.canRewind) this.lastAction = null;
  }
}

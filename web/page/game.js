// One game: a starting frame, and the frames and states that followed from the actions since.

const MAX_REWINDS = 500;
const MAX_HISTORY_BYTES = 256e6;

/** A game. Its methods must not overlap: await one before calling the next. */
export class Game {
  #moments = [];
  #maxMoments;
  #startIndex = 0;

  /**
   * @param {Model} model
   * @param {ImageData[]} starts the starting frames; the game begins with the first one.
   */
  constructor(model, starts) {
    this.model = model;
    this.starts = starts;
    this.stepMilliseconds = NaN;
    this.#maxMoments = 1 + Math.min(MAX_REWINDS, Math.max(1, Math.floor(MAX_HISTORY_BYTES / model.momentBytes)));
    this.reset();
  }

  /** The current frame. @returns {ImageData} */
  get frame() {
    return this.#moments.at(-1).frame;
  }

  /** The number of steps up to the current frame. */
  get numSteps() {
    return this.#moments.at(-1).step;
  }

  /** Whether there is a step to undo; early steps of a long game are dropped. */
  get canRewind() {
    return this.#moments.length > 1;
  }

  /** Take an action, 0 to K - 1; with noise its variation is drawn from N(0, I), else it is zero. */
  async act(action, noise = false) {
    const variation = Float32Array.from({ length: this.model.game.variation_dimension }, noise ? normal : () => 0);
    const start = performance.now();
    const next = await this.model.step(this.#moments.at(-1), action, variation);
    this.stepMilliseconds = performance.now() - start;
    this.#moments.push(next);
    if (this.#moments.length > this.#maxMoments) this.#moments.shift().dispose();
  }

  /** Undo the last step, if there is one. */
  rewind() {
    if (this.canRewind) this.#moments.pop().dispose();
  }

  /** Restart from the same starting frame. */
  reset() {
    for (const moment of this.#moments) moment.dispose();
    this.#moments = [this.model.start(this.starts[this.#startIndex])];
  }

  /** Start from another starting frame, drawn at random. */
  startAnew() {
    const others = this.starts.length - 1;
    this.#startIndex = (this.#startIndex + 1 + Math.floor(Math.random() * others)) % this.starts.length;
    this.reset();
  }
}

/** Draw a number from N(0, 1) by the Box-Muller transform. */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

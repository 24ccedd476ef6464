// One game: a starting frame and what the actions since have made of it.

const MAX_REWINDS = 500;
const MAX_HISTORY_BYTES = 256e6;

/** What is played. Its methods must not overlap: await one before calling the next. */
export class Game {
  #moments = [];
  #maxMoments;
  #startIndex = 0;

  /**
   * @param {Model} model
   * @param {ImageData[]} starts the starting frames; the first one begins.
   */
  constructor(model, starts) {
    this.model = model;
    this.starts = starts;
    this.stepMilliseconds = NaN;
    this.#maxMoments = 1 + Math.min(MAX_REWINDS, Math.max(1, Math.floor(MAX_HISTORY_BYTES / model.momentBytes)));
    this.reset();
  }

  /** What is seen now. @returns {ImageData} */
  get frame() {
    return this.#moments.at(-1).frame;
  }

  /** How many steps led to the present frame. */
  get numSteps() {
    return this.#moments.at(-1).step;
  }

  /** Whether a step can be taken back: early ones of a long game are forgotten. */
  get canRewind() {
    return this.#moments.length > 1;
  }

  /** Take an action, 0 to K - 1; with noise its variation is drawn from N(0, I), else zero. */
  async act(action, noise = false) {
    const variation = Float32Array.from({ length: this.model.game.variation_dimension }, noise ? normal : () => 0);
    const start = performance.now();
    const next = await this.model.step(this.#moments.at(-1), action, variation);
    this.stepMilliseconds = performance.now() - start;
    this.#moments.push(next);
    if (this.#moments.length > this.#maxMoments) this.#moments.shift().dispose();
  }

  /** Take the last step back, if there is one. */
  rewind() {
    if (this.canRewind) this.#moments.pop().dispose();
  }

  /** Begin again from the same starting frame. */
  reset() {
    for (const moment of this.#moments) moment.dispose();
    this.#moments = [this.model.start(this.starts[this.#startIndex])];
  }

  /** Begin from another starting frame, drawn at random. */
  startAnew() {
    const others = this.starts.length - 1;
    this.#startIndex = (this.#startIndex + 1 + Math.floor(Math.random() * others)) % this.starts.length;
    this.reset();
  }
}

/** A number from N(0, 1), by Box and Muller's method. */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

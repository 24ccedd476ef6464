// One game: a starting frame, and the frames and states that followed from the actions since.

const MAX_REWINDS = 500;
const MAX_HISTORY_BYTES = 256e6;

/** A game. Its methods must not overlap: await one before calling the next. */
export class Game {
  #moments = [];
  #maxMoments;
  #startIndex = 0;
  #seed;
  #steps = [];

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

  /** Where the game started, and its steps since. @returns {Recording} */
  get recording() {
    return { start: this.#startIndex, seed: this.#seed, steps: this.#steps };
  }

  /** Take an action, 0 to K - 1; with noise its variation is drawn from N(0, I), else it is zero. */
  async act(action, noise = false) {
    const length = this.model.game.variation_dimension;
    const variation = Float32Array.from({ length }, noise ? normal(this.#seed, this.numSteps) : () => 0);
    const start = performance.now();
    const next = await this.model.step(this.#moments.at(-1), action, variation);
    this.stepMilliseconds = performance.now() - start;
    this.#moments.push(next);
    this.#steps.push({ action, noise });
    if (this.#moments.length > this.#maxMoments) this.#moments.shift().dispose();
  }

  /** Undo the last step, if there is one. */
  rewind() {
    if (!this.canRewind) return;
    this.#moments.pop().dispose();
    this.#steps.pop();
  }

  /** Restart from the same starting frame, with noise of a seed, 0 to 2^32 - 1. */
  reset(seed = Math.floor(Math.random() * 2 ** 32)) {
    for (const moment of this.#moments) moment.dispose();
    this.#seed = seed;
    this.#steps = [];
    this.#moments = [this.model.start(this.starts[this.#startIndex])];
  }

  /** Start from another starting frame, drawn at random. */
  startAnew() {
    const others = this.starts.length - 1;
    this.#startIndex = (this.#startIndex + 1 + Math.floor(Math.random() * others)) % this.starts.length;
    this.reset();
  }

  /** Restart as a recording did. */
  restart({ start, seed }) {
    this.#startIndex = start;
    this.reset(seed);
  }
}

/** Return a function that draws from N(0, 1) by the Box-Muller transform, the same for a seed and a step. */
function normal(seed, step) {
  const random = uniform(seed ^ Math.imul(step + 1, 0x9e3779b1));
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** Return a function that draws from [0, 1): the generator Mulberry32. */
function uniform(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

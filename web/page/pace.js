// The timing of frames in real time. Times are milliseconds of any one clock.

const NUM_MEASURED = 20;

/** The timing of frames at a fixed rate; delays are not caught up. */
export class Pace {
  #due = null;
  #times = [];

  /** @param {number} framesPerSecond */
  constructor(framesPerSecond) {
    this.framesPerSecond = framesPerSecond;
  }

  /** Frames a second over the last 20 frames; NaN before the second frame. */
  get rate() {
    const [first, last] = [this.#times[0], this.#times.at(-1)];
    return (1000 * (this.#times.length - 1)) / (last - first);
  }

  /** Return whether a frame is due, and if so schedule the next one a period later. */
  take(now) {
    if (this.#due !== null && now < this.#due) return false;
    const period = 1000 / this.framesPerSecond;
    this.#due = Math.max(this.#due ?? now, now - period) + period;
    this.#times.push(now);
    if (this.#times.length > NUM_MEASURED + 1) this.#times.shift();
    return true;
  }

  /** Pause: a frame is due as soon as time continues. */
  stop() {
    this.#due = null;
    this.#times = [];
  }
}

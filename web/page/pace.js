// When the frames of real time are due. Times are milliseconds of one clock, whichever.

const NUM_MEASURED = 20;

/** Frames that are due a number of times a second. What is late is never made up for. */
export class Pace {
  #due = null;
  #times = [];

  /** @param {number} framesPerSecond */
  constructor(framesPerSecond) {
    this.framesPerSecond = framesPerSecond;
  }

  /** How many frames a second there were lately, over the last 20; NaN before the second one. */
  get rate() {
    const [first, last] = [this.#times[0], this.#times.at(-1)];
    return (1000 * (this.#times.length - 1)) / (last - first);
  }

  /** Whether a frame is due; if so, the next one is due a period later. */
  take(now) {
    if (this.#due !== null && now < this.#due) return false;
    const period = 1000 / this.framesPerSecond;
    this.#due = Math.max(this.#due ?? now, now - period) + period;
    this.#times.push(now);
    if (this.#times.length > NUM_MEASURED + 1) this.#times.shift();
    return true;
  }

  /** Time stands still: a frame is due as soon as it goes on. */
  stop() {
    this.#due = null;
    this.#times = [];
  }
}

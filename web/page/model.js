// The trained video model: an observation, an action and a recurrent state in, the next observation and state out.
//
// Dimensions: S stacked frames in an observation, K actions, D action-space dimension, H x W pixels.

/** Maximum difference, out of 255, of a frame from that computed at export. */
const TOLERANCE = 3;

/** The state of a game. It is immutable, so that one can keep it and return to it. */
class Moment {
  /**
   * @param {ImageData} frame the newest frame, H x W.
   * @param {object} observation tensor (1, 3S, H, W) in [-1, 1], newest frame first.
   * @param {object[]} states the tensors of the recurrent state.
   * @param {number} step the number of steps so far.
   */
  constructor(frame, observation, states, step) {
    this.frame = frame;
    this.observation = observation;
    this.states = states;
    this.step = step;
  }

  /** Free its tensors, which may be in GPU memory. */
  dispose() {
    for (const tensor of [this.observation, ...this.states]) tensor.dispose();
  }
}

/** The model of an exported game, ready to run. */
export class Model {
  #ort;
  #session;
  #initialState;

  /**
   * @param {object} game the contents of game.json.
   * @param {object} ort onnxruntime-web.
   * @param {object} session the inference session of the model.
   * @param {ArrayBuffer} initialState float32 numbers, in the order of `game.states`.
   */
  constructor(game, ort, session, initialState) {
    this.game = game;
    this.#ort = ort;
    this.#session = session;
    this.#initialState = initialState;
  }

  /** Load the model on a back end, `webgpu` or `wasm`; observation and state stay there from step to step. */
  static async create(game, ort, backEnd, onnx, initialState) {
    const carried = ["next_observation", ...game.states.map(({ name }) => `next_${name}`)];
    const session = await ort.InferenceSession.create(onnx, {
      executionProviders: [backEnd],
      graphOptimizationLevel: "all",
      preferredOutputLocation:
        backEnd === "webgpu" ? Object.fromEntries(carried.map((name) => [name, "gpu-buffer"])) : undefined,
    });
    return new Model(game, ort, session, initialState);
  }

  /** The size in bytes of the tensors and the frame of a moment. */
  get momentBytes() {
    const { width, height, observation_stacking: stacking } = this.game;
    return width * height * (4 * 3 * stacking + 4) + this.#initialState.byteLength;
  }

  /**
   * Return the moment before the first action.
   *
   * @param {ImageData} frame the starting frame.
   */
  start(frame) {
    const { width, height, observation_stacking: stacking, states } = this.game;
    const planes = new Float32Array(3 * stacking * height * width);
    for (let plane = 0; plane < 3 * stacking; plane++) {
      const offset = plane * height * width;
      for (let pixel = 0; pixel < height * width; pixel++) {
        planes[offset + pixel] = frame.data[4 * pixel + (plane % 3)] / 127.5 - 1;
      }
    }
    let offset = 0;
    const initial = states.map(({ shape }) => {
      const numbers = new Float32Array(this.#initialState, offset, size(shape));
      offset += numbers.byteLength;
      return this.#tensor(numbers, shape);
    });
    return new Moment(frame, this.#tensor(planes, [1, 3 * stacking, height, width]), initial, 0);
  }

  /**
   * Return the moment after an action is taken.
   *
   * @param {Moment} moment the state of the game.
   * @param {number} action from 0 to K - 1.
   * @param {Float32Array} variation the action's variation, D numbers.
   */
  async step(moment, action, variation) {
    const { width, height, actions, states } = this.game;
    const feeds = {
      observation: moment.observation,
      action: this.#tensor(Float32Array.from(actions, (_, index) => Number(index === action)), [1, actions.length]),
    };
    if (this.game.uses_variations) feeds.variation = this.#tensor(variation, [1, variation.length]);
    if (this.game.counts_steps) feeds.step = new this.#ort.Tensor("int64", [BigInt(moment.step)], [1]);
    states.forEach(({ name }, index) => (feeds[name] = moment.states[index]));
    const next = await this.#session.run(feeds);
    const pixels = next.pixels.data;
    return new Moment(
      new ImageData(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.length), width, height),
      next.next_observation,
      states.map(({ name }) => next[`next_${name}`]),
      moment.step + 1,
    );
  }

  /**
   * Check that this browser computes correctly, which not every GPU driver does.
   *
   * @param {ImageData} start a starting frame.
   * @param {ImageData} expected the frame after the first action, computed at export.
   * @throws {Error} it computes another frame.
   */
  async verify(start, expected) {
    const first = this.start(start);
    const next = await this.step(first, 0, new Float32Array(this.game.variation_dimension));
    const isNear = next.frame.data.every((value, index) => Math.abs(value - expected.data[index]) <= TOLERANCE);
    first.dispose();
    next.dispose();
    if (!isNear) throw new Error("it computes wrong frames");
  }

  #tensor(numbers, shape) {
    return new this.#ort.Tensor("float32", numbers, shape);
  }
}

function size(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

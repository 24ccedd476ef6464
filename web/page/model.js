// The learned video model: an observation, an action and a recurrent state in, the next ones out.
//
// Dimensions: S stacked frames in an observation, K actions, D action-space dimension, H x W pixels.

/** By how much, of 255, a frame that is computed elsewhere may differ. */
const TOLERANCE = 3;

/** Where a game stands. It is never changed, so that it can be kept and returned to. */
class Moment {
  /**
   * @param {ImageData} frame H x W.
   * @param {object} observation tensor (1, 3S, H, W) in [-1, 1], newest frame first.
   * @param {object[]} states tensors, the recurrent state.
   * @param {number} step how many steps led here.
   */
  constructor(frame, observation, states, step) {
    this.frame = frame;
    this.observation = observation;
    this.states = states;
    this.step = step;
  }

  /** Free its tensors, which may lie in the GPU's memory. */
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
   * @param {object} session of the model.
   * @param {ArrayBuffer} initialState float32 numbers, in the order of `game.states`.
   */
  constructor(game, ort, session, initialState) {
    this.game = game;
    this.#ort = ort;
    this.#session = session;
    this.#initialState = initialState;
  }

  /** Make the model ready to run on a back end, `webgpu` or `wasm`. What is carried from step to step stays there. */
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

  /** How many bytes the tensors and the frame of a moment take. */
  get momentBytes() {
    const { width, height, observation_stacking: stacking } = this.game;
    return width * height * (4 * 3 * stacking + 4) + this.#initialState.byteLength;
  }

  /**
   * The moment before the first action.
   *
   * @param {ImageData} frame where the game starts.
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
   * The moment that follows when an action is taken.
   *
   * @param {Moment} moment where the game stands.
   * @param {number} action from 0 to K - 1.
   * @param {Float32Array} variation of the action, D numbers.
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
   * Find out whether this browser computes what it should, which not every driver of a GPU does.
   *
   * @param {ImageData} start a starting frame.
   * @param {ImageData} expected what the first action made of it where the game was exported.
   * @throws {Error} it does not.
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

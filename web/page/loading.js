// Loading of a game: the model, the runtime and the frames.

import { PageError, readFile } from "./files.js";
import { Model } from "./model.js";
import { loadRuntime, possibleBackEnds, runtimeBytes } from "./runtime.js";

/**
 * Load a game on the best back end that computes it rightly.
 *
 * @param {object} description the contents of its game.json.
 * @param {(loaded: number, total: number) => void} onProgress gets numbers of bytes.
 * @returns {Promise<{ model: Model, backEnd: string, starts: ImageData[], failure: Error | undefined }>} the model, its
 *   back end, the starting frames, and why a better back end is not used.
 * @throws {PageError} a file is missing or damaged, or no back end computes rightly.
 */
export async function load(description, onProgress) {
  const backEnds = await possibleBackEnds();
  const { model, initial_state: state, runtime } = description;
  const total = model.bytes + state.bytes + runtimeBytes(runtime, backEnds[0]);
  let loaded = 0;
  const add = (bytes) => onProgress((loaded += bytes), total);
  const read = async ({ file, bytes }) => (await readFile(file, { bytes }, add)).arrayBuffer();
  const files = Promise.all([read(model), read(state), readFrames(description)]);
  files.catch(() => {}); // reported below, even if the runtime fails first
  let failure;
  for (const backEnd of backEnds) {
    try {
      const ort = await loadRuntime(runtime, backEnd, add);
      const [onnx, initialState, [firstFrame, ...starts]] = await files;
      const ready = await Model.create(description, ort, backEnd, onnx, initialState);
      await ready.verify(starts[0], firstFrame);
      return { model: ready, backEnd, starts, failure };
    } catch (error) {
      if (error instanceof PageError) throw error;
      failure = error;
    }
  }
  throw new PageError(
    `This browser cannot run the model: ${failure.message}. Use a current version of Chrome, Edge, Firefox or Safari.`,
    { cause: failure },
  );
}

/** Read the expected frame after the first step, and the starting frames. */
async function readFrames({ first_frame: firstFrame, starts, width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const frames = [];
  for (const name of [firstFrame, ...starts]) {
    const file = await readFile(name, { type: "image/png" });
    try {
      context.drawImage(await createImageBitmap(file, { colorSpaceConversion: "none" }), 0, 0);
    } catch (error) {
      throw new PageError(`${name} is damaged. Copy the exported folder again, whole.`, { cause: error });
    }
    frames.push(context.getImageData(0, 0, width, height));
  }
  return frames;
}

// Recording of play as a video.

/** Minimum height of a recorded video in pixels; smaller frames are enlarged by a whole factor. */
const MIN_HEIGHT = 480;
const BITS_PER_SECOND = 8e6;

/** Video types, the best first; browsers write WebM, except for old versions of Safari. */
const TYPES = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];

/** Records frames from `start` to `stop`. */
export class Recorder {
  #canvas = document.createElement("canvas");
  #source;
  #recording = null;
  #type;

  /** @param {HTMLCanvasElement} source the canvas that shows the frames. */
  constructor(source) {
    this.#source = source;
    this.#type = TYPES.find((type) => globalThis.MediaRecorder?.isTypeSupported(type));
  }

  /** Whether this browser can record. */
  get isPossible() {
    return this.#type !== undefined;
  }

  /** The extension of the recorded files, such as `webm`. */
  get extension() {
    return this.#type.match(/\w+\/(\w+)/)[1];
  }

  /** Whether a recording is in progress. */
  get isRecording() {
    return this.#recording !== null;
  }

  /** Start recording. */
  start() {
    const factor = Math.ceil(MIN_HEIGHT / this.#source.height);
    this.#canvas.width = factor * this.#source.width;
    this.#canvas.height = factor * this.#source.height;
    const options = { mimeType: this.#type, videoBitsPerSecond: BITS_PER_SECOND };
    this.#recording = new MediaRecorder(this.#canvas.captureStream(), options);
    this.#recording.start();
    this.add();
  }

  /** Record the frame that the source shows, if a recording is in progress. */
  add() {
    if (!this.isRecording) return;
    const context = this.#canvas.getContext("2d", { alpha: false });
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#source, 0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** Stop recording. @returns {Promise<Blob>} the video. */
  async stop() {
    const recording = this.#recording;
    this.#recording = null;
    const video = new Promise((resolve) => recording.addEventListener("dataavailable", (event) => resolve(event.data)));
    recording.stop();
    for (const track of recording.stream.getTracks()) track.stop();
    return video;
  }
}

/** Save a file through the browser's download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

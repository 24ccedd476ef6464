// Recording what is played as a video.

/** Lines that a recorded video has at least: small frames are enlarged by a whole factor. */
const MIN_HEIGHT = 480;
const BITS_PER_SECOND = 8e6;

/** What browsers write, the best first: WebM everywhere but in old versions of Safari. */
const TYPES = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];

/** Records frames from `start` to `stop`. */
export class Recorder {
  #canvas = document.createElement("canvas");
  #source;
  #recording = null;
  #type;

  /** @param {HTMLCanvasElement} source shows the frames. */
  constructor(source) {
    this.#source = source;
    this.#type = TYPES.find((type) => globalThis.MediaRecorder?.isTypeSupported(type));
  }

  /** Whether this browser can record. */
  get isPossible() {
    return this.#type !== undefined;
  }

  /** Of the files that it makes, such as `webm`. */
  get extension() {
    return this.#type.match(/\w+\/(\w+)/)[1];
  }

  /** Whether a recording is under way. */
  get isRecording() {
    return this.#recording !== null;
  }

  /** Begin. */
  start() {
    const factor = Math.ceil(MIN_HEIGHT / this.#source.height);
    this.#canvas.width = factor * this.#source.width;
    this.#canvas.height = factor * this.#source.height;
    const options = { mimeType: this.#type, videoBitsPerSecond: BITS_PER_SECOND };
    this.#recording = new MediaRecorder(this.#canvas.captureStream(), options);
    this.#recording.start();
    this.add();
  }

  /** Record the frame that the source shows, if a recording is under way. */
  add() {
    if (!this.isRecording) return;
    const context = this.#canvas.getContext("2d", { alpha: false });
    context.imageSmoothingEnabled = false;
    context.drawImage(this.#source, 0, 0, this.#canvas.width, this.#canvas.height);
  }

  /** End. @returns {Promise<Blob>} the video. */
  async stop() {
    const recording = this.#recording;
    this.#recording = null;
    const video = new Promise((resolve) => recording.addEventListener("dataavailable", (event) => resolve(event.data)));
    recording.stop();
    for (const track of recording.stream.getTracks()) track.stop();
    return video;
  }
}

/** Hand a file to the player. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

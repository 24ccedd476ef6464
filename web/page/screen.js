// The picture: frames on a canvas whose pixels are whole squares of the display's.

/** Shows the frames of a game, as large as fits, and crisp. */
export class Screen {
  #canvas;
  #context;
  #room;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} room what the canvas should fill.
   * @param {number} width of frames, in pixels.
   * @param {number} height of frames, in pixels.
   */
  constructor(canvas, room, width, height) {
    this.#canvas = canvas;
    this.#room = room;
    canvas.width = width;
    canvas.height = height;
    this.#context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#fit()).observe(room);
  }

  /** @param {ImageData} frame */
  show(frame) {
    this.#context.putImageData(frame, 0, 0);
  }

  /** Enlarge by the largest whole factor, in pixels of the display; shrink what is too large for one. */
  #fit() {
    const { clientWidth, clientHeight } = this.#room;
    const { width, height, style } = this.#canvas;
    const scale = devicePixelRatio * Math.min(clientWidth / width, clientHeight / height);
    const factor = (scale >= 1 ? Math.floor(scale) : scale) / devicePixelRatio;
    style.width = `${factor * width}px`;
    style.height = `${factor * height}px`;
  }
}

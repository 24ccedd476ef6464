// The screen: frames on a canvas that is enlarged by a whole factor of display pixels.

/** Shows the frames of a game, as large as fits without blurring. */
export class Screen {
  #canvas;
  #context;
  #room;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} room the element that the canvas should fill.
   * @param {number} width the width of frames, in pixels.
   * @param {number} height the height of frames, in pixels.
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

  /** Scale the canvas by the largest whole factor of display pixels that fits; shrink frames that are too large. */
  #fit() {
    const { clientWidth, clientHeight } = this.#room;
    const { width, height, style } = this.#canvas;
    const scale = devicePixelRatio * Math.min(clientWidth / width, clientHeight / height);
    const factor = (scale >= 1 ? Math.floor(scale) : scale) / devicePixelRatio;
    style.width = `${factor * width}px`;
    style.height = `${factor * height}px`;
  }
}

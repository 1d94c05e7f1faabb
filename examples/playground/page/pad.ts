// The drawing pad: mouse, pen, finger and keyboard.

type Point = [x: number, y: number];

const PEN = 22;
/** How far an arrow key moves the pen. */
const STEP = 7;

/** A square canvas to draw on; tells when the drawing has changed. */
export class Pad {
  readonly #canvas: HTMLCanvasElement;
  readonly #cursor: HTMLElement;
  readonly #changed: () => void;
  #strokes: Point[][] = [];
  /** Of the keyboard's pen. */
  #at: Point;
  #down = false;

  constructor(canvas: HTMLCanvasElement, cursor: HTMLElement, changed: () => void) {
    this.#canvas = canvas;
    this.#cursor = cursor;
    this.#changed = changed;
    this.#at = [canvas.width / 2, canvas.height / 4];
    canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.#lift();
      this.#strokes.push([this.#place(event)]);
      this.#draw();
    });
    canvas.addEventListener('pointermove', (event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      const events = moves.length > 0 ? moves : [event];
      this.#strokes.at(-1)?.push(...events.map((each) => this.#place(each)));
      this.#draw();
    });
    canvas.addEventListener('keydown', (event) => this.#key(event));
    canvas.addEventListener('blur', () => this.#lift());
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#paint());
  }

  get empty(): boolean {
    return this.#strokes.length === 0;
  }

  clear(): void {
    this.#strokes = [];
    this.#lift();
    this.#draw();
  }

  undo(): void {
    this.#strokes.pop();
    this.#lift();
    this.#draw();
  }

  /** How much ink is where, from 0 to 255. */
  ink(): Uint8ClampedArray {
    const { width, height } = this.#canvas;
    const { data } = this.#context().getImageData(0, 0, width, height);
    return data.filter((_, i) => i % 4 === 3);
  }

  #context(): CanvasRenderingContext2D {
    return this.#canvas.getContext('2d', { willReadFrequently: true })!;
  }

  #place({ clientX, clientY }: MouseEvent): Point {
    const box = this.#canvas.getBoundingClientRect();
    const scale = this.#canvas.width / box.width;
    return [(clientX - box.left) * scale, (clientY - box.top) * scale];
  }

  #key(event: KeyboardEvent): void {
    const moves: Record<string, Point> = {
      ArrowLeft: [-STEP, 0],
      ArrowRight: [STEP, 0],
      ArrowUp: [0, -STEP],
      ArrowDown: [0, STEP],
    };
    const move = moves[event.key];
    if (move) {
      const inside = (value: number) => Math.min(this.#canvas.width, Math.max(0, value));
      this.#at = [inside(this.#at[0] + move[0]), inside(this.#at[1] + move[1])];
      if (this.#down) {
        this.#strokes.at(-1)!.push(this.#at);
        this.#draw();
      }
    } else if (event.key === ' ') {
      this.#down = !this.#down;
      if (this.#down) {
        this.#strokes.push([this.#at]);
        this.#draw();
      }
    } else if (event.key === 'Delete' || event.key === 'Backspace') {
      this.clear();
    } else return;
    event.preventDefault();
    const [x, y] = this.#at.map((value) => (100 * value) / this.#canvas.width);
    this.#cursor.hidden = false;
    this.#cursor.style.left = `${x}%`;
    this.#cursor.style.top = `${y}%`;
    this.#cursor.classList.toggle('down', this.#down);
  }

  #lift(): void {
    this.#down = false;
    this.#cursor.hidden = true;
  }

  #draw(): void {
    this.#paint();
    this.#changed();
  }

  #paint(): void {
    const context = this.#context();
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    context.strokeStyle = getComputedStyle(this.#canvas).color;
    context.lineWidth = PEN;
    context.lineCap = 'round';
    context.lineJoin = 'round';
    for (const [first, ...others] of this.#strokes) {
      context.beginPath();
      context.moveTo(...first!);
      for (const point of others.length > 0 ? others : [first!]) context.lineTo(...point);
      context.stroke();
    }
  }
}

// The values of a network while its graph is read: which operation made each, who reads it, and its layout.
import type { Graph, GraphNode, Source } from '@thimble/graph';
import { isPlain } from './activations.ts';
import { fixed, keyOf, none } from './node-parts.ts';
import type { Network, Operation } from './operations.ts';
import { Value } from './values.ts';
import { placesByPixel, type View } from './view.ts';

/** The operations so far, and the values between them. */
export class Wiring {
  readonly network: Network = { operations: [], inputs: [], outputs: [], gated: [] };
  readonly #values = new Map<string, Value>();
  /** Values in another order that nobody has read yet, and the nodes that say so. */
  readonly #views = new Map<string, { node: GraphNode; view: View }>();
  readonly #shapes = new Map<string, readonly (number | null)[]>();
  readonly #uses = new Map<string, number>();
  /** Values that are read under more than one name. */
  readonly #shared = new Set<Value>();
  /** The operation that made a value, by the value. */
  readonly #makers = new Map<Value, Operation>();

  constructor({ nodes, outputs }: Graph) {
    for (const { name, inputs, outputs: shapes } of nodes) {
      for (const source of inputs) this.#use(source);
      shapes.forEach((shape, output) => {
        this.#shapes.set(keyOf({ node: name, output }), shape);
      });
    }
    for (const source of outputs) this.#use(source);
  }

  #use(source: Source): void {
    const key = keyOf(source);
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
  }

  /** The value of an output. */
  of(source: Source): Value {
    const key = keyOf(source);
    const seen = this.#views.get(key);
    if (seen) {
      this.#views.delete(key);
      this.#compute(seen.node, seen.view);
    }
    return this.#values.get(key)!;
  }

  /** An output as a view. */
  view(source: Source): View {
    const key = keyOf(source);
    const shape = fixed(this.#shapes.get(key)!, source.node);
    return this.#views.get(key)?.view ?? { base: this.of(source), shape };
  }

  /** Lets the value of a node be a view, which is computed when it is read. */
  see(node: GraphNode, view: View): void {
    if (node.codes?.output) this.#compute(node, view);
    else this.#views.set(keyOf({ node: node.name, output: 0 }), { node, view });
  }

  #compute(node: GraphNode, view: View): void {
    const { base, shape, places } = view;
    const output = this.value(shape);
    const { layer } = node;
    const common = { layer, input: base, output, ...none() };
    if (places) this.answer(node, { kind: 'rearrange', ...common, ...placesByPixel(view) });
    else if (base.planes || output.planes) this.answer(node, { kind: 'reshape', ...common });
    else this.pass(node, base);
  }

  give(node: GraphNode, value: Value): void {
    this.#values.set(keyOf({ node: node.name, output: 0 }), value);
  }

  /** The same value under another name. */
  pass(node: GraphNode, value: Value): void {
    if (this.#uses.get(keyOf(node.inputs[0]!)) !== 1) this.#shared.add(value);
    this.give(node, value);
  }

  add<O extends Operation>(operation: O): O {
    this.network.operations.push(operation);
    this.#makers.set(operation.output, operation);
    return operation;
  }

  /** Adds an operation whose value is that of a node. */
  answer(node: GraphNode, operation: Operation): void {
    const round = node.codes?.output;
    this.add(round ? { ...operation, round } : operation);
    this.give(node, operation.output);
  }

  like(value: Value): Value {
    const { height, width, channels, planes } = value;
    const made = new Value([height, width, channels], planes);
    if (planes) made.joinTo(value);
    return made;
  }

  /** Planes for images of more than one pixel; else vectors. */
  value(shape: readonly number[]): Value {
    return new Value(shape, shape.length > 1 && shape.slice(0, -1).some((size) => size > 1));
  }

  /** A vector of a whole image as planes, where it is one. */
  asPlanes(value: Value, shape: readonly number[], { layer }: GraphNode): Value {
    if (value.planes) return value;
    const output = this.value(shape);
    if (!output.planes) return value;
    this.add({ kind: 'reshape', layer, input: value, output, ...none() });
    return output;
  }

  asVector(value: Value, node: GraphNode): Value {
    if (!value.planes) return value;
    const output = new Value([value.size], false);
    this.add({ kind: 'reshape', layer: node.layer, input: value, output, ...none() });
    return output;
  }

  /** The maker of a value that nothing else reads, if it ends as it is. */
  open(source: Source): Operation | undefined {
    const value = this.of(source);
    if (!this.isSole(source, value)) return undefined;
    const maker = this.#makers.get(value);
    return maker && isPlain(maker) ? maker : undefined;
  }

  /** Whether nothing else reads a value that a node is given. */
  isSole(source: Source, value: Value): boolean {
    return this.#uses.get(keyOf(source)) === 1 && !this.#shared.has(value);
  }

  /** Whether a value comes from a ReLU, directly or by way of a change of shape or pooling. */
  hasZeros(value: Value): boolean {
    const maker = this.#makers.get(value);
    if (!maker) return false;
    if (maker.low === 0) return true;
    const passes =
      maker.kind === 'reshape' ||
      maker.kind === 'rearrange' ||
      (maker.kind === 'pool' && !maker.mean);
    return passes && this.hasZeros(maker.input);
  }

  /** A vector of one pixel as planes. */
  spread(value: Value, { layer }: GraphNode): Value {
    const output = new Value([value.height, value.width, value.channels], true);
    this.add({ kind: 'reshape', layer, input: value, output, ...none() });
    return output;
  }
}

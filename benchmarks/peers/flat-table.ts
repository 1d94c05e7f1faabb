// Nested plain values written as a FlatBuffer, by the field numbers of a schema.

/** What is used of the builder of the package flatbuffers. */
export interface Builder {
  bb: { bytes(): Uint8Array; setPosition(at: number): void };
  space: number;
  startObject(fields: number): void;
  endObject(): number;
  startVector(size: number, count: number, alignment: number): void;
  endVector(): number;
  addInt8(value: number): void;
  addInt32(value: number): void;
  addFloat32(value: number): void;
  addInt64(value: bigint): void;
  addOffset(offset: number): void;
  addFieldInt8(field: number, value: number, standard: number | null): void;
  addFieldInt32(field: number, value: number, standard: number | null): void;
  addFieldFloat32(field: number, value: number, standard: number | null): void;
  addFieldOffset(field: number, offset: number, standard: number): void;
  createString(text: string): number;
  finish(root: number, identifier: string): void;
  asUint8Array(): Uint8Array;
}

/** A value of a table's field. */
export type Field =
  | { type: 'byte' | 'int' | 'float'; value: number }
  | { type: 'ints' | 'longs'; values: readonly number[] }
  | { type: 'floats'; values: ArrayLike<number> }
  /** Begins at a multiple of 16 bytes. */
  | { type: 'bytes'; values: Uint8Array }
  | { type: 'text'; value: string }
  | { type: 'table'; value: Table }
  | { type: 'tables'; values: readonly Table[] };

/** A table: its fields by their numbers in the schema. */
export type Table = Readonly<Record<number, Field | undefined>>;

/** Writes a table after all that it points to, and gives its offset. */
export function writeTable(builder: Builder, table: Table): number {
  const fields = Object.entries(table).flatMap(([number, field]) =>
    field ? [{ number: Number(number), field }] : [],
  );
  const offsets = fields.map(({ field }) => writeTarget(builder, field));
  builder.startObject(Math.max(0, ...fields.map(({ number }) => number + 1)));
  for (const [i, { number, field }] of fields.entries()) {
    const offset = offsets[i];
    if (offset !== undefined) builder.addFieldOffset(number, offset, 0);
    else if (field.type === 'byte') builder.addFieldInt8(number, field.value, null);
    else if (field.type === 'int') builder.addFieldInt32(number, field.value, null);
    else if (field.type === 'float') builder.addFieldFloat32(number, field.value, null);
  }
  return builder.endObject();
}

/** The offset of what a field points to; none where the value stands in the table itself. */
function writeTarget(builder: Builder, field: Field): number | undefined {
  switch (field.type) {
    case 'text':
      return builder.createString(field.value);
    case 'table':
      return writeTable(builder, field.value);
    case 'tables': {
      const offsets = field.values.map((value) => writeTable(builder, value));
      return vector(builder, offsets, 4, (offset) => builder.addOffset(offset));
    }
    case 'ints':
      return vector(builder, field.values, 4, (value) => builder.addInt32(value));
    case 'longs':
      return vector(builder, field.values, 8, (value) => builder.addInt64(BigInt(value)));
    case 'floats':
      return vector(builder, field.values, 4, (value) => builder.addFloat32(value));
    case 'bytes': {
      builder.startVector(1, field.values.length, 16);
      builder.space -= field.values.length;
      builder.bb.setPosition(builder.space);
      builder.bb.bytes().set(field.values, builder.space);
      return builder.endVector();
    }
    default:
      return undefined;
  }
}

/** FlatBuffers grow from the end to the beginning. */
function vector(
  builder: Builder,
  values: ArrayLike<number>,
  size: number,
  add: (value: number) => void,
): number {
  builder.startVector(size, values.length, size);
  for (let i = values.length - 1; i >= 0; i--) add(values[i]!);
  return builder.endVector();
}

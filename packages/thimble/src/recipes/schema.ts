// The part of JSON Schema that recipes are described in, and the check of values against it. One description
// serves both: what is published for editors is what is checked here.
import { OptionError } from '@thimble/base';

/** A JSON Schema of the kinds that recipes need. */
export type Schema = { readonly description?: string } & (
  | {
      readonly type: 'number' | 'integer';
      readonly minimum?: number;
      readonly maximum?: number;
      readonly exclusiveMinimum?: number;
      readonly exclusiveMaximum?: number;
    }
  | { readonly type: 'boolean' | 'string' }
  | { readonly enum: readonly (string | number | boolean)[] }
  | { readonly type: 'array'; readonly items: Schema; readonly minItems?: number }
  | ObjectSchema
  | { readonly anyOf: readonly Schema[] }
);

/** An object with known keys, or a record of values of one kind. */
export interface ObjectSchema {
  readonly description?: string;
  readonly type: 'object';
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties: false | Schema;
  readonly minProperties?: number;
  readonly maxProperties?: number;
}

/**
 * Throws unless a value is what a schema says. `owner` and `path` say in the message where it stands.
 *
 * @throws {OptionError} naming the value and what it must be.
 */
export function checkSchema(owner: string, path: string, value: unknown, schema: Schema): void {
  if ('anyOf' in schema) {
    // Where only one of the kinds fits the type of the value, its own complaint says most.
    const candidates = schema.anyOf.filter((each) => hasType(value, each));
    if (candidates.length === 1) checkSchema(owner, path, value, candidates[0]!);
    else if (!candidates.some((each) => passes(owner, path, value, each))) {
      throw wrong(owner, path, value, schema);
    }
    return;
  }
  if (!hasType(value, schema)) throw wrong(owner, path, value, schema);
  if ('enum' in schema) {
    if (!schema.enum.includes(value as string)) throw wrong(owner, path, value, schema);
  } else if (schema.type === 'array') {
    const list = value as unknown[];
    if (list.length < (schema.minItems ?? 0)) throw wrong(owner, path, value, schema);
    for (const [i, item] of list.entries()) {
      checkSchema(owner, `${path}[${i}]`, item, schema.items);
    }
  } else if (schema.type === 'object') checkObject(owner, path, value as object, schema);
  else if (schema.type === 'number' || schema.type === 'integer') {
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
    const n = value as number;
    const fits =
      n >= (minimum ?? -Infinity) &&
      n <= (maximum ?? Infinity) &&
      n > (exclusiveMinimum ?? -Infinity) &&
      n < (exclusiveMaximum ?? Infinity);
    if (!fits) throw wrong(owner, path, value, schema);
  }
}

function checkObject(owner: string, path: string, value: object, schema: ObjectSchema): void {
  const { properties = {}, required = [], additionalProperties } = schema;
  const known = Object.keys(properties);
  const inside = (key: string) => (path === '' ? key : `${path}.${key}`);
  for (const [key, entry] of Object.entries(value)) {
    const own = Object.hasOwn(properties, key) ? properties[key]! : additionalProperties;
    if (own === false) {
      throw new OptionError(
        `${owner}: unknown option "${inside(key)}". Known options: ${known.join(', ') || 'none'}.`,
      );
    }
    if (entry !== undefined) checkSchema(owner, inside(key), entry, own);
  }
  const { minProperties = 0, maxProperties = Number.POSITIVE_INFINITY } = schema;
  const count = Object.keys(value).length;
  if (count < minProperties || count > maxProperties) {
    const range =
      minProperties === maxProperties ? `${minProperties}` : `at least ${minProperties}`;
    throw new OptionError(
      `${owner}: ${path || 'it'} must have ${range} of the keys ${known.join(', ')}, not ${count}.`,
    );
  }
  const missing = required.find((key) => (value as Record<string, unknown>)[key] === undefined);
  if (missing !== undefined) throw new OptionError(`${owner}: ${inside(missing)} is missing.`);
}

function passes(owner: string, path: string, value: unknown, schema: Schema): boolean {
  try {
    checkSchema(owner, path, value, schema);
    return true;
  } catch {
    return false;
  }
}

function hasType(value: unknown, schema: Schema): boolean {
  if ('anyOf' in schema) return schema.anyOf.some((each) => hasType(value, each));
  if ('enum' in schema) return schema.enum.some((each) => typeof each === typeof value);
  switch (schema.type) {
    case 'integer':
      return Number.isInteger(value);
    case 'number':
      return Number.isFinite(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === schema.type;
  }
}

/** Characters of a value that are shown. */
const LONGEST = 80;

function wrong(owner: string, path: string, value: unknown, schema: Schema): OptionError {
  const name = path === '' ? 'it' : path;
  const text = typeof value === 'number' ? String(value) : String(JSON.stringify(value));
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text;
  return new OptionError(`${owner}: ${name} must be ${kindOf(schema)}, not ${shown}.`);
}

/** What a schema takes, in words. */
function kindOf(schema: Schema): string {
  if ('anyOf' in schema) return schema.anyOf.map(kindOf).join(' or ');
  if ('enum' in schema) return `one of ${schema.enum.join(', ')}`;
  switch (schema.type) {
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'a text';
    case 'array':
      return `a list, each ${kindOf(schema.items)}`;
    case 'object':
      return 'an object';
    default:
      return `a ${schema.type === 'integer' ? 'whole number' : 'number'}${rangeOf(schema)}`;
  }
}

function rangeOf({
  minimum,
  maximum,
  exclusiveMinimum,
  exclusiveMaximum,
}: Extract<Schema, { type: 'number' | 'integer' }>): string {
  const bounds = [
    minimum === undefined ? undefined : `from ${minimum}`,
    exclusiveMinimum === undefined ? undefined : `above ${exclusiveMinimum}`,
    maximum === undefined ? undefined : `to ${maximum}`,
    exclusiveMaximum === undefined ? undefined : `below ${exclusiveMaximum}`,
  ].filter((bound) => bound !== undefined);
  return bounds.length > 0 ? ` ${bounds.join(' ')}` : '';
}

/** The edits that make `made` of `old`. */
export function editsOf(old: Buffer, made: Buffer): Buffer;

/**
 * @module
 * What may stand in a selector as a label's key or value. Wider than Kubernetes' own rule, for
 * labels of other sources are not bound by it; narrow enough that no text imitates another.
 */

const keyPattern = /^[A-Za-z0-9]([A-Za-z0-9._/-]{0,315}[A-Za-z0-9])?$/;
const valuePattern = /^([A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)?$/;

export function isLabelText(text: string, part: 'key' | 'value'): boolean {
  return (part === 'key' ? keyPattern : valuePattern).test(text);
}

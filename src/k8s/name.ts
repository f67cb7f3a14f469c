/**
 * @module
 * What Kubernetes takes as a name, a label or the name of a port.
 */

/** A namespace: one DNS label. */
export function isDnsLabel(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text);
}

/** An object's name: a DNS subdomain. */
export function isDnsSubdomain(text: string): boolean {
  if (text.length > 253) return false;
  return text.split('.').every((part) => /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(part));
}

const labelName = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

export function isLabelKey(text: string): boolean {
  const slash = text.indexOf('/');
  if (slash < 0) return labelName.test(text);
  return isDnsSubdomain(text.slice(0, slash)) && labelName.test(text.slice(slash + 1));
}

export function isLabelValue(text: string): boolean {
  return text === '' || labelName.test(text);
}

/** IANA service name: at most 15, lower case, a letter in it, hyphens only between others. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && /^(?=.*[a-z])[a-z0-9](-?[a-z0-9])*$/.test(text);
}

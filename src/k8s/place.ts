/**
 * @module
 * Where a value stands: its document and the way down to it. Text and line are made only when
 * there is a problem, so a place costs one small object.
 */

export type Step = string | number;

export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The document that places lie in. */
export interface DocumentPlace {
  /** Its place in the file until its name is known. */
  title: string;
  /** Line and column, from 1, of the value or of the nearest thing around it that is there. */
  readonly locate: (steps: readonly Step[]) => Position | undefined;
}

export class Place {
  readonly #document: DocumentPlace;
  readonly #parent: Place | undefined;
  readonly #step: Step;
  /** A key that a person chose, not the name of a field. */
  readonly #isKey: boolean;

  constructor(document: DocumentPlace, parent?: Place, step: Step = '', isKey = false) {
    this.#document = document;
    this.#parent = parent;
    this.#step = step;
    this.#isKey = isKey;
  }

  field(name: string): Place {
    return new Place(this.#document, this, name);
  }

  /** An entry of a map whose keys are free, such as labels. */
  key(name: string): Place {
    return new Place(this.#document, this, name, true);
  }

  item(index: number): Place {
    return new Place(this.#document, this, index);
  }

  /** What a path such as `ingress[0].toPorts` leads to. */
  down(path: string): Place {
    let place: Place = this;
    for (const [step] of path.matchAll(/[^.[\]]+/g)) {
      place = /^\d+$/.test(step) ? place.item(Number(step)) : place.field(step);
    }
    return place;
  }

  /** Document and field, as people read it. */
  get text(): string {
    const path = this.#path;
    return path === '' ? this.#document.title : `${this.#document.title}: ${path}`;
  }

  get position(): Position | undefined {
    const steps: Step[] = [];
    for (let place: Place = this; place.#parent !== undefined; place = place.#parent) {
      steps.push(place.#step);
    }
    return this.#document.locate(steps.reverse());
  }

  get #path(): string {
    if (this.#parent === undefined) return '';
    const before = this.#parent.#path;
    if (typeof this.#step === 'number') return `${before}[${this.#step}]`;
    const step = this.#step.length > 60 ? `${this.#step.slice(0, 57)}...` : this.#step;
    if (this.#isKey) return `${before}[${JSON.stringify(step)}]`;
    return before === '' ? step : `${before}.${step}`;
  }
}

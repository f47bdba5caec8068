/**
 * Chance from a seed: the same seed, the same storm, on every machine.
 */
export class Chance {
  /** @param {number} seed */
  constructor(seed) {
    // Neighbouring seeds must not give neighbouring storms.
    this.state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ (seed >>> 13)) >>> 0;
    for (let i = 0; i < 4; i++) this.next();
  }

  /** At least 0, less than 1 (mulberry32). */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low, high) {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** True in `share` of all cases. */
  often(share) {
    return this.next() < share;
  }

  /** One of them. */
  one(list) {
    return list[Math.floor(this.next() * list.length)];
  }

  /** One of them, each as likely as its `weight` says. */
  weighed(list) {
    let rest = this.next() * list.reduce((sum, item) => sum + item.weight, 0);
    for (const item of list) if ((rest -= item.weight) < 0) return item;
    return list[list.length - 1];
  }
}

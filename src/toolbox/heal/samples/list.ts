import { readFile } from "node:fs/promises";
import type { Item, Options } from './types';

export interface Result {
  items: Item[];
  total: number;
}

const DEFAULTS: Options = { limit: 20, order: 'name' };

export async function load(path: string, options = DEFAULTS): Promise<Result> {
  const text = await readFile(path, "utf8");
  const items: Item[] = JSON.parse(text);

  if (!Array.isArray(items)) {
    throw new Error(`no list in ${path}`);
  }

  const sorted = items
    .filter((item) => item.size > 0 && !item.hidden)
    .sort((a, b) => a.name.localeCompare(b.name));

  return {
    items: sorted.slice(0, options.limit),
    total: sorted.length,
  };
}

// The queries of a report, and what the index answers to them now.
import { get, itemPath, post } from './api.js';
import { server } from './server.js';

/** Hits that are compared with the right answer. */
export const DEEP = 100;

/** The queries of one direction that are not answered at once, worst first. A caption is named by its image and its place there. */
export function worstQueries({ ranks, caption_image: images, image_ids: ids }, side) {
  const seen = new Map();
  const queries = ranks[side].map((rank, at) => {
    if (side === 'i2t') return { side, rank, at, image: ids[at] };
    const nth = seen.get(images[at]) ?? 0;
    seen.set(images[at], nth + 1);
    return { side, rank, at, nth, image: ids[images[at]] };
  });
  return queries.filter(({ rank }) => rank > 0).sort((a, b) => b.rank - a.rank);
}

const items = new Map();

/** The caption of a query, from the index; items are asked for once. Null if the index lacks it. */
export async function captionOf({ image, nth }, signal) {
  if (!items.has(image)) items.set(image, get(itemPath(image), { signal }));
  try {
    return (await items.get(image)).captions[nth] ?? null;
  } catch (error) {
    items.delete(image);
    if (error.status === 404) return null;
    throw error;
  }
}

/** Searches as the report did: within its split, where the index knows splits. Each hit says whether it is `right`. */
export async function ask(query, { split }, signal) {
  const { index } = await server();
  const filter = index.fields.includes('split') && ['train', 'val', 'test'].includes(split) ? `split=${split}` : null;
  const common = { top: DEEP, filter, group_duplicates: false };
  if (query.side === 'i2t') {
    const { hits } = await post('/v1/search', { query: [{ id: query.image, weight: 1 }], target: 'text', ...common }, { signal });
    return { hits: hits.map((hit) => ({ ...hit, right: hit.image_id === query.image })) };
  }
  const caption = await captionOf(query, signal);
  if (!caption) throw new Error('The index does not hold this caption. Index the dataset that was evaluated, with its captions.');
  const { hits } = await post('/v1/search', { query: [{ text: caption.text, weight: 1 }], target: 'image', ...common }, { signal });
  return { caption, hits: hits.map((hit) => ({ ...hit, right: hit.id === query.image })) };
}

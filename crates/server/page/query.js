// A query: as the page's address, and as the body of a request.
import { dataOf } from './uploads.js';

const KINDS = { t: 'text', d: 'id', u: 'upload' };
const LETTERS = { text: 't', id: 'd', upload: 'u' };

/** No query. `parts` are the chips: `{kind, value, weight}`. `details` is the weight of the grounded level, null for the model's own. */
export const nothing = () => ({ words: '', parts: [], target: 'image', filter: '', least: 0, details: null });

export function fromAddress(params) {
  const parts = [];
  for (const [key, value] of params) {
    const weight = Number.parseFloat(value);
    if (KINDS[key] && Number.isFinite(weight)) parts.push({ kind: KINDS[key], weight, value: value.slice(value.indexOf(':') + 1) });
  }
  return {
    words: params.get('q') ?? '',
    parts,
    target: params.get('target') === 'text' ? 'text' : 'image',
    filter: params.get('filter') ?? '',
    least: Math.min(1, Math.max(0, Number(params.get('least')) || 0)),
    details: share(params.get('details')),
  };
}

/** A number from 0 to 1, or null. */
function share(text) {
  const number = Number.parseFloat(text);
  return number >= 0 && number <= 1 ? number : null;
}

export function toAddress(query) {
  const params = new URLSearchParams();
  if (query.words.trim()) params.set('q', query.words.trim());
  for (const part of query.parts) params.append(LETTERS[part.kind], `${part.weight}:${part.value}`);
  if (query.target === 'text') params.set('target', 'text');
  if (query.filter.trim()) params.set('filter', query.filter.trim());
  if (query.least > 0) params.set('least', query.least);
  if (query.details !== null) params.set('details', query.details);
  return params;
}

/** What the server is asked; parts whose image is gone are left out. */
export function toRequest(query, top, cursor = null) {
  const parts = query.parts.map(asRequested).filter(Boolean);
  if (query.words.trim()) parts.unshift({ text: query.words.trim(), weight: 1 });
  return {
    query: parts,
    target: query.target,
    top,
    cursor,
    filter: query.filter.trim() || null,
    min_relevance: (hasRelevance(query) && query.least) || null,
    group_duplicates: true,
    lambda: query.details === null ? null : 1 - query.details,
  };
}

function asRequested({ kind, value, weight }) {
  if (kind !== 'upload') return { [kind]: value, weight };
  const image = dataOf(value);
  return image && { image, weight };
}

export const isEmpty = (query) => !query.words.trim() && query.parts.length === 0;

/** Calibration covers one sentence that searches for images and one image that searches for captions, with the model's own weights. */
export function hasRelevance(query) {
  const kinds = query.parts.map((part) => part.kind);
  if (query.words.trim()) kinds.push('text');
  return query.details === null && kinds.length === 1 && (kinds[0] === 'text') === (query.target === 'image');
}

/** The sentence, if the query is one and nothing else: only such a query can be explained and imagined. */
export function sentenceOf(query) {
  const texts = query.parts.filter((part) => part.kind === 'text' && part.weight > 0).map((part) => part.value);
  if (query.words.trim()) texts.push(query.words.trim());
  return texts.length === 1 && query.parts.length + Boolean(query.words.trim()) === 1 ? texts[0] : null;
}

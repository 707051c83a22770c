/** What the API gives at most in one page. */
const PAGE = 1_000;

/** The first `most` items of a list, page by page, and whether there are more. */
export async function collectPages<T>(
  most: number,
  fetchPage: (query: {
    limit: number;
    after: string | undefined;
  }) => Promise<{ readonly items: readonly T[]; readonly next?: string | undefined }>,
): Promise<{ items: T[]; more: boolean }> {
  const items: T[] = [];
  let after: string | undefined;
  do {
    const page = await fetchPage({ limit: Math.min(PAGE, most - items.length), after });
    items.push(...page.items);
    after = page.next;
  } while (after !== undefined && items.length < most);
  return { items, more: after !== undefined };
}

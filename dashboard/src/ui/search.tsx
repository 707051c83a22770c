/** Words to look for, as a filter of a page. */
export function Search({
  value,
  placeholder,
  set,
}: {
  readonly value: string | undefined;
  /** What is searched. */
  readonly placeholder: string;
  readonly set: (value: string) => void;
}) {
  return (
    <label>
      Search
      <input
        type="search"
        value={value ?? ''}
        placeholder={placeholder}
        onChange={({ target }) => set(target.value)}
      />
    </label>
  );
}

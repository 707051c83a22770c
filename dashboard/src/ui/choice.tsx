/** One of some texts, or none of them. */
export function Choice({
  label,
  value,
  options,
  none = 'all',
  set,
}: {
  readonly label: string;
  readonly value: string | undefined;
  readonly options: readonly string[];
  readonly none?: string;
  readonly set: (value: string) => void;
}) {
  return (
    <label>
      {label}
      <select value={value ?? ''} onChange={({ target }) => set(target.value)}>
        <option value="">{none}</option>
        {options.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </select>
    </label>
  );
}

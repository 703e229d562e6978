export declare const serve: (start: (id: string) => Promise<unknown>) => Promise<void>

import java.util.*;
import java.nio.ByteBuffer;

/** Grow keeps direct buffers for ever and prints a prompt before each step. */
public class Grow {
    public static void main(String[] args) throws Exception {
        List<ByteBuffer> kept = new ArrayList<>();
        Scanner in = new Scanner(System.in);
        for (int step = 0; ; step++) {
            for (int i = 0; i < 100; i++) kept.add(ByteBuffer.allocateDirect(4096));
            for (int i = 0; i < 100; i++) ByteBuffer.allocateDirect(512);
            System.out.println("step " + step);
            if (!in.hasNextLine()) return;
            in.nextLine();
        }
    }
}
